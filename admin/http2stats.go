package admin

import (
	"fmt"
	"strconv"
)

// HTTP2Stats counts the connections of clients that speak HTTP/2, and the streams on them. Each stream that became a request is one
// of HTTPStats too, when it has ended. Reasons that are missing are 0.
type HTTP2Stats struct {
	Connections   uint64            `json:"connections"` // begun
	Active        int64             `json:"active"`      // open
	Streams       uint64            `json:"streams"`     // that became requests
	ActiveStreams int64             `json:"activeStreams"`
	Reset         map[string]uint64 `json:"reset"`   // streams that were refused, or reset by either side, by why; not those that ended with their connection
	GoAways       map[string]uint64 `json:"goAways"` // connections that weir has told to end, by why; what begins with h2- is what the client did wrong
}

// addHTTP2 adds h to sum, which is made when it is first needed. A nil h counts nothing.
func addHTTP2(sum, h *HTTP2Stats) *HTTP2Stats {
	if h == nil {
		return sum
	}
	if sum == nil {
		sum = &HTTP2Stats{Reset: map[string]uint64{}, GoAways: map[string]uint64{}}
	}
	sum.Connections += h.Connections
	sum.Active += h.Active
	sum.Streams += h.Streams
	sum.ActiveStreams += h.ActiveStreams
	for why, n := range h.Reset {
		sum.Reset[why] += n
	}
	for why, n := range h.GoAways {
		sum.GoAways[why] += n
	}
	return sum
}

// http2Heading names the cells of http2Row.
const http2Heading = "HTTP/2\tSTREAMS"

// http2Row returns the cells of a table that tell of open connections of HTTP/2 and their streams, and none where there never
// was one.
func http2Row(h *HTTP2Stats) []string {
	if h == nil || h.Connections == 0 {
		return nil
	}
	return []string{strconv.FormatInt(h.Active, 10), strconv.FormatInt(h.ActiveStreams, 10)}
}

// http2StatusRows returns what `weir status` says of HTTP/2, nothing where nobody has spoken it.
func http2StatusRows(h *HTTP2Stats) [][]string {
	if h == nil || h.Connections == 0 {
		return nil
	}
	rows := [][]string{{"HTTP/2", fmt.Sprintf("%d connections, %d streams; %d and %d in all", h.Active, h.ActiveStreams, h.Connections, h.Streams)}}
	rows = append(rows, reasonRows("streams reset: ", h.Reset)...)
	return append(rows, reasonRows("told to go: ", h.GoAways)...)
}
