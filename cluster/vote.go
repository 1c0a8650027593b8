package cluster

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"
)

// Report is the value of a health cell: what one observer saw of a backend with one probe. Its durations were measured by
// the observer when it wrote them, so nobody's clock has to agree with anybody's.
type Report struct {
	State    State
	For      time.Duration // for how long it had been so
	Age      time.Duration // how long ago the last probe had ended; negative: it had not probed
	Streak   int           // probes in a row with that result
	Failures int           // of its connections to the backend, in a row
	Doubt    Doubt         // what it thought of its own judgement
}

// maxReported bounds durations, streaks and failures in a report; what is more is written as this.
const maxReported = 1 << 31

// reportProbed marks in the first byte, beside the state, that there is an age.
const reportProbed = 1 << 2

// Append appends the value of a cell: a byte with the state, the doubt, then as varints milliseconds, streak and failures.
func (r Report) Append(b []byte) []byte {
	head := byte(r.State)
	if r.Age >= 0 {
		head |= reportProbed
	}
	b = append(b, head, byte(r.Doubt))
	b = appendMilliseconds(b, r.For)
	if r.Age >= 0 {
		b = appendMilliseconds(b, r.Age)
	}
	b = binary.AppendUvarint(b, uint64(min(max(r.Streak, 0), maxReported)))
	return binary.AppendUvarint(b, uint64(min(max(r.Failures, 0), maxReported)))
}

func appendMilliseconds(b []byte, d time.Duration) []byte {
	return binary.AppendUvarint(b, uint64(min(max(d, 0).Milliseconds(), maxReported)))
}

// ParseReport reads a value. Bytes behind it are of later releases and are not looked at; a state of a later release is
// Unknown.
func ParseReport(b []byte) (Report, error) {
	r := &reader{rest: b}
	milliseconds := func(what string) time.Duration {
		return time.Duration(r.uvarint(what, maxReported)) * time.Millisecond
	}
	head := r.byte("a report")
	report := Report{State: State(head & 3), Doubt: Doubt(r.byte("a doubt")), Age: -1}
	if report.State > Down {
		report.State = Unknown
	}
	report.For = milliseconds("a duration")
	if head&reportProbed != 0 {
		report.Age = milliseconds("an age")
	}
	report.Streak = int(r.uvarint("a streak", maxReported))
	report.Failures = int(r.uvarint("failures", maxReported))
	if r.err != nil {
		return Report{}, r.err
	}
	return report, nil
}

// Differs reports whether the others should hear of r, who know old. Ages, durations and streaks alone are not worth it.
func (r Report) Differs(old Report) bool {
	return r.State != old.State || r.Doubt != old.Doubt ||
		(r.Failures > 0) != (old.Failures > 0) || (r.Age < 0) != (old.Age < 0)
}

// Vote is a report as it counts here.
type Vote struct {
	Observer string
	Boot     uint64    // the life in which the observer made it
	At       time.Time // when it came here, by this node's clock
	Report
}

// Votes returns what the others say under the key of a backend's health, in order of their names. What cannot be read is
// left out.
func (t *Table) Votes(key Key) []Vote {
	var votes []Vote
	for name, r := range t.observers {
		e, ok := r.cells[key]
		if !ok || e.gone || name == t.self {
			continue
		}
		if report, err := ParseReport(e.value); err == nil {
			votes = append(votes, Vote{Observer: name, Boot: r.boot, At: e.at, Report: report})
		}
	}
	slices.SortFunc(votes, func(a, b Vote) int { return cmp.Compare(a.Observer, b.Observer) })
	return votes
}
