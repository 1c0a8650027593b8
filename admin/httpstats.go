package admin

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// HTTPStats counts the HTTP requests that passed something. Each request is counted once, when it has ended, in every
// number here.
type HTTPStats struct {
	// Requests counts by the class of the status sent to the client, of a Backend the status that came from it: 1xx to
	// 5xx, where 1xx is a switch of protocols, or aborted for an answer that did not come or did not come to its end. A
	// class that is missing is 0; others than these are not shown as metrics.
	Requests map[string]uint64 `json:"requests"`
	Duration Histogram         `json:"duration"` // from the request's first byte to its end; of a Backend, from sending it to the answer's end
	BytesIn  uint64            `json:"bytesIn"`  // content of requests, without heads and chunks
	BytesOut uint64            `json:"bytesOut"` // content of responses
	// Calls are those of gRPC among the requests, of a Service, by the name of their status; none = nobody has said one.
	Calls map[string]uint64 `json:"calls,omitempty"`
}

// Histogram counts durations by buckets.
type Histogram struct {
	Bounds []float64 `json:"bounds"` // upper ends of the buckets in seconds, inclusive, rising and finite
	Counts []uint64  `json:"counts"` // of each bucket alone, and last of what is above all bounds: one more than Bounds
	Sum    float64   `json:"sum"`    // of all durations, in seconds
}

// httpClasses are the classes of HTTPStats.Requests, in the order in which they are shown.
var httpClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx", "aborted"}

// cumulative returns what Prometheus wants of a histogram: how many durations there are, and how many up to each bound.
// Counts that are missing are 0.
func (h *Histogram) cumulative() (total uint64, upTo map[float64]uint64) {
	upTo = make(map[float64]uint64, len(h.Bounds))
	for i, n := range h.Counts {
		total += n
		if i < len(h.Bounds) {
			upTo[h.Bounds[i]] = total
		}
	}
	for i := len(h.Counts); i < len(h.Bounds); i++ {
		upTo[h.Bounds[i]] = total
	}
	return total, upTo
}

// mean returns the mean duration, and false if there was none.
func (h *Histogram) mean() (time.Duration, bool) {
	total, _ := h.cumulative()
	if total == 0 {
		return 0, false
	}
	return time.Duration(h.Sum / float64(total) * float64(time.Second)), true
}

// addRequests adds those of h to sum, which is made when it is first needed and then has every class. A nil h has none.
func addRequests(sum map[string]uint64, h *HTTPStats) map[string]uint64 {
	if h == nil {
		return sum
	}
	if sum == nil {
		sum = make(map[string]uint64, len(httpClasses))
	}
	for _, class := range httpClasses {
		sum[class] += h.Requests[class]
	}
	return sum
}

// requestCounts writes "107: 100 2xx, 4 4xx, 3 aborted".
func requestCounts(requests map[string]uint64) string {
	var parts []string
	for _, class := range httpClasses {
		if n := requests[class]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, class))
		}
	}
	if len(parts) == 0 {
		return "0"
	}
	return fmt.Sprintf("%d: %s", totalRequests(requests), strings.Join(parts, ", "))
}

func totalRequests(requests map[string]uint64) uint64 {
	total := uint64(0)
	for _, class := range httpClasses {
		total += requests[class]
	}
	return total
}

// httpHeading names the cells of httpRow.
const httpHeading = "REQUESTS\t5XX\tABORTED\tMEAN"

// httpRow returns the cells of a table that tell of HTTP, and none of a nil h.
func httpRow(h *HTTPStats) []string {
	if h == nil {
		return nil
	}
	mean := "-"
	if d, ok := h.Duration.mean(); ok {
		mean = latency(d)
	}
	return []string{
		strconv.FormatUint(totalRequests(h.Requests), 10), strconv.FormatUint(h.Requests["5xx"], 10),
		strconv.FormatUint(h.Requests["aborted"], 10), mean,
	}
}

// latency rounds a duration to what a reader compares: 850µs, 12.3ms, 1.25s.
func latency(d time.Duration) string {
	switch {
	case d >= time.Second:
		d = d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		d = d.Round(100 * time.Microsecond)
	default:
		d = d.Round(time.Microsecond)
	}
	return d.String()
}
