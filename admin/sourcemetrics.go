package admin

import "github.com/prometheus/client_golang/prometheus"

// sourceFamilies are the metrics of the sources by which services find backends. The labels name a source and its resolver as
// the configuration does: nothing that it answers becomes one.
type sourceFamilies struct {
	all      []family[Source]
	attempts *prometheus.Desc
}

func newSourceFamilies() sourceFamilies {
	return sourceFamilies{
		all: families([]string{"protocol", "service", "source"}, sourceMetrics()),
		attempts: prometheus.NewDesc("weir_discovery_attempts_total", "Attempts to ask the source, by outcome.",
			[]string{"protocol", "service", "source", "outcome"}, nil),
	}
}

func sourceMetrics() []definition[Source] {
	return []definition[Source]{
		{"weir_discovery_endpoints", "Endpoints that the source contributes now.", gauge, func(s *Source) float64 { return float64(s.Endpoints) }},
		{"weir_discovery_last_attempt_success", "Whether the last attempt got an answer, if only that there are no endpoints.", gauge, func(s *Source) float64 { return oneIf(s.Outcome == "ok" || s.Outcome == "empty") }},
		{"weir_discovery_last_attempt_timestamp_seconds", "When that attempt ended, in seconds since 1970; 0 means that none has.", gauge, func(s *Source) float64 { return unixSeconds(s.Asked) }},
		{"weir_discovery_answer_timestamp_seconds", "When an answer was last believed, in seconds since 1970; 0 means never.", gauge, func(s *Source) float64 { return unixSeconds(s.Answered) }},
		{"weir_discovery_ttl_seconds", "For how long that answer holds by its own word; 0 means that it does not say.", gauge, func(s *Source) float64 { return s.TTLSeconds }},
		{"weir_discovery_held", "Whether some of the endpoints were not named by the last answer.", gauge, func(s *Source) float64 { return oneIf(s.Held) }},
		{"weir_discovery_stale", "Whether the last attempt failed, and what is known is from before.", gauge, func(s *Source) float64 { return oneIf(s.Stale) }},
	}
}

func (f *sourceFamilies) describe(out chan<- *prometheus.Desc) {
	describe(out, f.all)
	out <- f.attempts
}

// collect makes the series of s. Every outcome has one from the start, so that the first failure is seen as an increase.
func (f *sourceFamilies) collect(out chan<- prometheus.Metric, s *Source) {
	collect(out, f.all, s, s.Protocol, s.Service, s.title())
	for _, outcome := range attemptOutcomes {
		out <- prometheus.MustNewConstMetric(f.attempts, counter, float64(s.Attempts[outcome]),
			valid(s.Protocol), valid(s.Service), valid(s.title()), outcome)
	}
}
