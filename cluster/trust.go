package cluster

import "time"

const (
	// trustSlots and trustSlot make the window over which observers are compared with what this node sees: one minute.
	trustSlots = 6
	trustSlot  = 10 * time.Second
	// maxWrong is the percentage of its votes that an observer may have wrong.
	maxWrong = 30
	// minCompared is how many comparisons it takes to judge.
	minCompared = 10
)

// Trust compares what the others report with what this node sees itself, and so finds observers that lie or are broken. It
// may as well be this node that is wrong; then it goes by its own eyes only, which it does first of all anyway. The zero
// value is ready.
type Trust struct {
	observers map[string]*track
}

// track is how one observer did, in slots of time.
type track [trustSlots]trustCount

type trustCount struct {
	turn            int64 // which slot of all time this is
	compared, wrong int
}

// Compare takes in what this node's probe has just seen of a backend, and has seen for more than two intervals, beside the votes on
// it. Votes that have arrived within the last two are left out: either side may have seen a change first. So are those of who
// doubts itself, and has said so. Probes are compared with probes: connections may fail where probes do not. It returns how
// many contradict.
func (t *Trust) Compare(own Evidence, votes []Vote, members Members, o Options, now time.Time) (wrong int) {
	o = o.withDefaults()
	if !o.fresh(own.Probed, now) {
		return 0
	}
	state := Up
	if own.ProbeFailed {
		state = Down
	}
	for _, v := range votes {
		m, member := members[v.Observer]
		if !member || !m.stands(v.Boot, now) || v.State == Unknown || v.Age < 0 || now.Sub(v.At) <= 2*o.Interval {
			continue
		}
		if v.Doubt != Sure || m.Doubt != Sure {
			continue
		}
		t.note(v.Observer, v.State != state, now)
		if v.State != state {
			wrong++
		}
	}
	return wrong
}

func (t *Trust) note(observer string, wrong bool, now time.Time) {
	if t.observers == nil {
		t.observers = map[string]*track{}
	}
	tr := t.observers[observer]
	if tr == nil {
		tr = &track{}
		t.observers[observer] = tr
	}
	turn := trustTurn(now)
	slot := &tr[turn%trustSlots]
	if slot.turn != turn {
		*slot = trustCount{turn: turn}
	}
	slot.compared++
	if wrong {
		slot.wrong++
	}
}

// trustTurn numbers the slots of all time.
func trustTurn(now time.Time) int64 { return max(0, now.Unix()) / int64(trustSlot/time.Second) }

// Wrong returns how many percent of an observer's votes contradicted this node within the last minute, and whether that is
// enough not to count them.
func (t *Trust) Wrong(observer string, now time.Time) (percent int, distrust bool) {
	tr := t.observers[observer]
	if tr == nil {
		return 0, false
	}
	turn := trustTurn(now)
	compared, wrong := 0, 0
	for _, slot := range tr {
		if slot.turn > turn-trustSlots && slot.turn <= turn {
			compared += slot.compared
			wrong += slot.wrong
		}
	}
	if compared == 0 {
		return 0, false
	}
	percent = wrong * 100 / compared
	return percent, compared >= minCompared && percent > maxWrong
}

// Forget drops what is known of an observer that is no member any more.
func (t *Trust) Forget(observer string) { delete(t.observers, observer) }
