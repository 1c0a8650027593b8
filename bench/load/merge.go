package load

// Merged is what clients saw together that ran side by side, each in a process of its own.
func Merged(all []Result) Result {
	var res Result
	var latency Histogram
	for _, r := range all {
		res.Elapsed = max(res.Elapsed, r.Elapsed)
		res.Exchanges += r.Exchanges
		res.Bytes += r.Bytes
		res.Errors += r.Errors
		if r.LastError != "" && (r.Wrong > 0 || res.Wrong == 0) {
			res.LastError = r.LastError
		}
		res.Wrong += r.Wrong
		res.Stalled += r.Stalled
		res.Unanswered += r.Unanswered
		res.Sent += r.Sent
		res.Lost += r.Lost
		res.Late += r.Late
		res.Reordered += r.Reordered
		res.Duplicated += r.Duplicated
		if r.Latency != nil {
			latency.Merge(r.Latency)
		}
	}
	res.timed(&latency)
	return res
}
