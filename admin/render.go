package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// Render writes v, which a Client returned, for a person (format "table") or for a program ("json"). Tables know
// *Status, []Entrypoint, []Router, []Service, []Backend, []Source, []Member, []StandingOrder and *Keys; times in them are told as
// of now.
func Render(w io.Writer, format string, v any, now time.Time) error {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "table":
		rows, err := table(v, now)
		if err != nil {
			return err
		}
		return writeRows(w, rows)
	}
	return fmt.Errorf("output format %q is none of table, json", format)
}

// table makes rows of cells; the first row is the heading.
func table(v any, now time.Time) ([][]string, error) {
	switch v := v.(type) {
	case *Status:
		return statusRows(v), nil
	case []Entrypoint:
		rows := rowsOf("NAME\tADDRESS\tPROTOCOL\tACTIVE\tMAX\tCONNECTIONS\tREJECTED\tIN\tOUT", v, entrypointRow)
		insertColumns(rows, "IN", httpHeading, v, func(e *Entrypoint) []string { return httpRow(e.HTTP) })
		insertColumns(rows, "IN", http2Heading, v, func(e *Entrypoint) []string { return http2Row(e.HTTP2) })
		insertColumns(rows, "IN", udpHeading, v, func(e *Entrypoint) []string { return udpRow(e.UDP) })
		return rows, nil
	case []Router:
		rows := rowsOf("NAME\tPROTOCOL\tENTRYPOINTS\tPRIORITY\tTLS\tSERVICE\tRULE", v, routerRow)
		insertColumns(rows, "RULE", httpHeading, v, func(r *Router) []string { return httpRow(r.HTTP) })
		return rows, nil
	case []Service:
		rows := rowsOf("NAME\tPROTOCOL\tKIND\tBACKENDS\tACTIVE\tWAITING\tCONNECTIONS\tRETRIES\tIN\tOUT", v, serviceRow)
		insertColumns(rows, "IN", httpHeading, v, func(s *Service) []string { return httpRow(s.HTTP) })
		insertColumns(rows, "IN", udpHeading, v, func(s *Service) []string { return udpRow(s.UDP) })
		return rows, nil
	case []Backend:
		rows := rowsOf("SERVICE\tPROTOCOL\tBACKEND\tSTATE\tWEIGHT\tACTIVE\tCONNECTIONS\tFAILURES\tIN\tOUT\tLAST CHECK", v, backendRow)
		insertColumns(rows, "IN", httpHeading, v, func(b *Backend) []string { return httpRow(b.HTTP) })
		insertColumns(rows, "LAST CHECK", "SOURCES", v, backendSources)
		insertColumns(rows, "LAST CHECK", "REASON", v, backendReason)
		return rows, nil
	case []Source:
		return rowsOf(sourceHeading, v, func(s *Source) []string { return sourceRow(s, now) }), nil
	case []Member:
		return rowsOf(memberHeading, v, func(m *Member) []string { return memberRow(m, now) }), nil
	case []StandingOrder:
		return rowsOf(orderHeading, v, func(o *StandingOrder) []string { return orderRow(o, now) }), nil
	case *Keys:
		return keyRows(v), nil
	}
	return nil, fmt.Errorf("no table for %T", v)
}

func rowsOf[T any](heading string, list []T, row func(*T) []string) [][]string {
	rows := [][]string{strings.Split(heading, "\t")}
	for i := range list {
		rows = append(rows, row(&list[i]))
	}
	return rows
}

// insertColumns puts columns in front of another one, if anything in the list has cells for them; what has none gets dashes.
// The rows are those of the list, with a heading.
func insertColumns[T any](rows [][]string, before, heading string, list []T, cells func(*T) []string) {
	names := strings.Split(heading, "\t")
	at, has := slices.Index(rows[0], before), func(v T) bool { return cells(&v) != nil }
	if at < 0 || !slices.ContainsFunc(list, has) {
		return
	}
	rows[0] = slices.Insert(rows[0], at, names...)
	for i := range list {
		row := cells(&list[i])
		if row == nil {
			row = slices.Repeat([]string{"-"}, len(names))
		}
		rows[i+1] = slices.Insert(rows[i+1], at, row...)
	}
}

func writeRows(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(cell)
		}
		if _, err := fmt.Fprintln(tw, strings.TrimRight(strings.Join(row, "\t"), "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// printable keeps what a server wrote, such as the text of a failed probe, from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\ufffd'
	}, s)
}

func statusRows(s *Status) [][]string {
	ready := "yes"
	if !s.Ready {
		ready = "no: " + strings.Join(s.NotReady, "; ")
	}
	rows := [][]string{
		{"version", fmt.Sprintf("%s (%s)", s.Version, s.GoVersion)},
		{"up for", duration(s.UptimeSeconds)},
		{"ready", ready},
		{"configuration", fmt.Sprintf("generation %d, %s", s.Generation, orDash(s.ConfigHash))},
		{"last load", lastLoad(s.Reloads)},
		{"event loops", strconv.Itoa(len(s.Loops))},
		{"connections", ofMax(s.Connections.Active, s.Connections.Max)},
		{"entrypoints", strconv.Itoa(s.Entrypoints)},
		{"routers", strconv.Itoa(s.Routers)},
		{"services", strconv.Itoa(s.Services)},
		{"backends", backendCounts(s.Backends)},
	}
	rows = append(rows, sourceStatusRows(s.Sources)...)
	rows = append(rows, clusterStatusRows(s.Cluster)...)
	rows = append(rows, []string{"log level", orDash(s.LogLevel)})
	if s.Requests != nil {
		rows = append(rows, []string{"requests", requestCounts(s.Requests)})
	}
	rows = append(rows, http2StatusRows(s.HTTP2)...)
	if l := s.AccessLog; l != (AccessLog{}) {
		rows = append(rows, []string{"access log", fmt.Sprintf("%d records, %d dropped, %d errors", l.Written, l.Dropped, l.Errors)})
	}
	if p := s.Spans; p != (Spans{}) {
		rows = append(rows, []string{"spans", fmt.Sprintf("%d exported, %d failed, %d dropped", p.Exported, p.Failed, p.Dropped)})
	}
	rows = append(rows, reasonRows("ended: ", s.Ended)...)
	return append(rows, udpStatusRows(s)...)
}

// reasonRows returns a row for each reason that has happened.
func reasonRows(title string, byReason map[string]uint64) [][]string {
	var rows [][]string
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		if n := byReason[reason]; n > 0 {
			rows = append(rows, []string{title + reason, strconv.FormatUint(n, 10)})
		}
	}
	return rows
}

func totalOf(byReason map[string]uint64) uint64 {
	total := uint64(0)
	for _, n := range byReason {
		total += n
	}
	return total
}

func lastLoad(r Reloads) string {
	switch {
	case r.Last.At.IsZero():
		return "-"
	case r.Last.OK:
		return "ok at " + r.Last.At.Format(time.RFC3339)
	}
	return "failed at " + r.Last.At.Format(time.RFC3339) + ": " + r.Last.Error
}

func backendCounts(c BackendCount) string {
	parts := []string{fmt.Sprintf("%d: %d up", c.Total, c.Up)}
	for _, p := range []struct {
		n    int
		what string
	}{{c.Down, "down"}, {c.Unknown, "not probed yet"}, {c.Ejected, "ejected"}, {c.Draining, "draining"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}

func entrypointRow(e *Entrypoint) []string {
	rejected := strconv.FormatUint(totalOf(e.Rejected), 10)
	if e.Protocol == udp {
		rejected = "-"
	}
	return []string{
		e.Name, e.Address, e.Protocol, strconv.FormatInt(e.Active, 10), noneIfZero(e.Max),
		strconv.FormatUint(e.Connections, 10), rejected, size(e.BytesIn), size(e.BytesOut),
	}
}

func routerRow(r *Router) []string {
	return []string{
		r.Name, r.Protocol, orDash(strings.Join(r.Entrypoints, ",")), strconv.Itoa(r.Priority), orDash(r.TLS), r.Service, orDash(r.Rule),
	}
}

func serviceRow(s *Service) []string {
	kind, backends := s.Kind, fmt.Sprintf("%d/%d", s.InUse, s.Backends)
	if s.Strategy != "" {
		kind = s.Strategy
	}
	switch {
	case s.Kind != "loadBalancer":
		backends = orDash(strings.Join(s.Services, ","))
	case s.Panic:
		backends += " (panic)"
	}
	waiting, retries := strconv.FormatInt(s.Waiting, 10), strconv.FormatUint(s.Retries, 10)
	if s.Protocol == udp {
		waiting, retries = "-", "-"
	}
	return []string{
		s.Name, s.Protocol, kind, backends, strconv.FormatInt(s.Active, 10), waiting,
		strconv.FormatUint(s.Connections, 10), retries, size(s.BytesIn), size(s.BytesOut),
	}
}

func backendRow(b *Backend) []string {
	address := b.Address
	if b.Name != "" {
		address += " (" + b.Name + ")"
	}
	check := orDash(b.LastCheckError)
	if b.LastCheckError == "" && !b.LastCheck.IsZero() {
		check = "ok"
	}
	return []string{
		b.Service, b.Protocol, address, backendState(b), strconv.Itoa(b.Weight), ofMax(b.Active, b.Max),
		strconv.FormatUint(b.Connections, 10), strconv.FormatUint(b.ConnectFailures, 10), size(b.BytesIn), size(b.BytesOut), check,
	}
}

// backendSources returns the cell with the sources that name a backend, and none if nothing is discovered.
func backendSources(b *Backend) []string {
	if len(b.Sources) == 0 {
		return nil
	}
	return []string{strings.Join(b.Sources, ", ")}
}

// backendReason returns the cell with the reason for what a backend is held for, and none if nobody but this weir has a say.
func backendReason(b *Backend) []string {
	if b.Reason == "" {
		return nil
	}
	return []string{b.Reason}
}

// backendState names the verdict and everything that bends it.
func backendState(b *Backend) string {
	words := []string{b.Health}
	if !b.EjectedUntil.IsZero() {
		words = append(words, "ejected")
	}
	if b.Draining {
		words = append(words, "draining")
	}
	if !b.SlowStartUntil.IsZero() {
		words = append(words, "slow-start")
	}
	if b.Priority != 0 {
		words = append(words, fmt.Sprintf("tier %d", b.Priority))
	}
	return strings.Join(words, ",")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func noneIfZero(n int64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

func ofMax(n, limit int64) string {
	if limit == 0 {
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%d/%d", n, limit)
}

func duration(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Truncate(time.Second).String()
}

// size writes bytes with a binary unit: 512 B, 1.5 KiB, 20 GiB.
func size(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10) + " B"
	}
	value, unit := float64(n)/1024, 0
	for value >= 1023.5 && unit < 5 {
		value /= 1024
		unit++
	}
	digits := 1
	if value >= 100 {
		digits = 0
	}
	return strconv.FormatFloat(value, 'f', digits, 64) + " " + string("KMGTPE"[unit]) + "iB"
}
