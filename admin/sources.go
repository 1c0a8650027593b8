package admin

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Source is what is known of one source by which one service finds backends. Outcomes that are missing in Attempts are 0.
type Source struct {
	Service    string            `json:"service"`
	Protocol   string            `json:"protocol"`           // of the service: tcp, udp or http
	Source     string            `json:"source"`             // kind and name, such as "dnsSRV _postgres._tcp.orders.internal"
	Resolver   string            `json:"resolver,omitempty"` // that is asked; empty: the system's, or none is needed
	Outcome    string            `json:"outcome"`            // of the last attempt: ok, empty, failed, or unasked before the first
	Error      string            `json:"error,omitempty"`    // what was wrong with that attempt, also if parts of the answer are used
	Asked      time.Time         `json:"asked,omitzero"`     // when that attempt ended; zero: none has
	Answered   time.Time         `json:"answered,omitzero"`  // when an answer was last believed; zero: never
	Next       time.Time         `json:"next,omitzero"`      // when it is asked again; zero: when it changes
	TTLSeconds float64           `json:"ttlSeconds"`         // for how long the answer holds by its own word; 0 = it does not say
	Held       bool              `json:"held"`               // some of its endpoints were not named by the last answer
	Stale      bool              `json:"stale"`              // the last attempt failed, and what is known is from before
	Endpoints  int               `json:"endpoints"`          // it contributes now
	Attempts   map[string]uint64 `json:"attempts"`           // by outcome
}

// unasked is the outcome of a source before the first attempt has ended.
const unasked = "unasked"

// attemptOutcomes are what may come of an attempt to ask a source, sourceOutcomes what a source may show, both in the order
// in which they are shown.
var (
	attemptOutcomes = [...]string{"ok", "empty", "failed"}
	sourceOutcomes  = [...]string{"ok", "empty", "failed", unasked}
)

// SourceCount counts sources by what they last said.
type SourceCount struct {
	Total    int            `json:"total"`
	Outcomes map[string]int `json:"outcomes"` // by the outcome of the last attempt
	Held     map[string]int `json:"held"`     // those of them that are held
}

// countSources returns nil if there are none.
func countSources(list []Source) *SourceCount {
	if len(list) == 0 {
		return nil
	}
	c := &SourceCount{Total: len(list), Outcomes: map[string]int{}, Held: map[string]int{}}
	for _, outcome := range sourceOutcomes {
		c.Outcomes[outcome], c.Held[outcome] = 0, 0
	}
	for i := range list {
		c.Outcomes[list[i].Outcome]++
		if list[i].Held {
			c.Held[list[i].Outcome]++
		}
	}
	return c
}

// sourceStatusRows returns what `weir status` says of discovery, nothing if there is none: "5 sources: 4 ok, 1 failed (held)".
func sourceStatusRows(c *SourceCount) [][]string {
	if c == nil {
		return nil
	}
	var parts []string
	for _, outcome := range sourceOutcomes {
		n, held := c.Outcomes[outcome], c.Held[outcome]
		part := fmt.Sprintf("%d %s", n, outcome)
		switch {
		case n == 0:
			continue
		case held == n:
			part += " (held)"
		case held > 0:
			part += fmt.Sprintf(" (%d held)", held)
		}
		parts = append(parts, part)
	}
	return [][]string{{"discovery", amount(c.Total, "source") + ": " + strings.Join(parts, ", ")}}
}

// sourceHeading names the cells of sourceRow.
const sourceHeading = "SERVICE\tPROTOCOL\tSOURCE\tOUTCOME\tENDPOINTS\tAGE\tTTL\tNEXT\tHELD/STALE\tERROR"

func sourceRow(s *Source, now time.Time) []string {
	age, ttl := "-", "-"
	if !s.Answered.IsZero() {
		age = since(s.Answered, now)
	}
	if s.TTLSeconds > 0 {
		ttl = duration(s.TTLSeconds)
	}
	return []string{
		s.Service, s.Protocol, s.title(), s.Outcome, strconv.Itoa(s.Endpoints), age, ttl, s.next(now), s.kept(), orDash(brief(s.Error)),
	}
}

// title names a source, and the resolver that is asked for it if it has a name: two of one service may differ in that only.
func (s *Source) title() string {
	if s.Resolver == "" {
		return s.Source
	}
	return s.Source + " (" + s.Resolver + ")"
}

func (s *Source) next(now time.Time) string {
	switch {
	case s.Next.IsZero():
		return "-"
	case !s.Next.After(now):
		return "now"
	}
	return since(now, s.Next)
}

func (s *Source) kept() string {
	switch {
	case s.Held && s.Stale:
		return "held,stale"
	case s.Held:
		return "held"
	case s.Stale:
		return "stale"
	}
	return "-"
}

// lastWord tells in one line what a source last said.
func (s *Source) lastWord(now time.Time) string {
	if s.Outcome == unasked {
		return s.title() + ": not asked yet"
	}
	answered := "never answered"
	if !s.Answered.IsZero() {
		answered = "answered " + since(s.Answered, now) + " ago"
	}
	text := fmt.Sprintf("%s: %s, %s, %s", s.title(), s.Outcome, amount(s.Endpoints, "endpoint"), answered)
	if s.Error != "" {
		text += ": " + brief(s.Error)
	}
	return printable(text)
}

func amount(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// since writes how long it is from one time to another, in whole seconds: 0s if the clocks of two machines put them the
// other way round.
func since(from, to time.Time) string { return duration(max(0, to.Sub(from).Seconds())) }

// brief cuts what others wrote to what a line has room for; the API has all of it.
func brief(text string) string {
	const most = 80 // characters
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
