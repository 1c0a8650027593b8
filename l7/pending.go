package l7

type StatusRange struct{ First, Last int }
type Child struct {
	Service *Service
	Weight  int
}

func StickyName(service string) string { return "_weir_" + service }
