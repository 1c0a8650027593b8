package config

// Retry sends requests to their service anew. In a loaded Config
// MaxRequestBodyBytes is from 0 to 1 MiB.
type Retry struct {
	Attempts                   int           `yaml:"attempts" need:"true" min:"1" max:"100" doc:"How often a request is sent to the service, the first time included."`
	InitialInterval            Duration      `yaml:"initialInterval" max:"1h" doc:"Time before the second attempt, give or take a half; it grows to twice that. 0 = none."`
	Timeout                    Duration      `yaml:"timeout" max:"24h" doc:"Time after the request came in which attempts begin. 0 = no limit."`
	MaxRequestBodyBytes        int           `yaml:"maxRequestBodyBytes" min:"-1" max:"1048576" doc:"Bytes of a request's body that are kept to send it again; a request with more is not sent again. -1 means the most there may be, 1 MiB."`
	Status                     []StatusRange `yaml:"status" doc:"Status codes of answers, and ranges of them, after which another attempt is made, besides those to a service that cannot be reached."`
	DisableRetryOnNetworkError bool          `yaml:"disableRetryOnNetworkError" doc:"Make no further attempt because the service cannot be reached, only after answers."`
	RetryNonIdempotentMethod   bool          `yaml:"retryNonIdempotentMethod" doc:"Send requests again too that may have had an effect, such as those with POST."`
}

func (r *Retry) setDefaults() { r.MaxRequestBodyBytes = usualBodyCopy }

// ErrorPages answers with pages of another service.
type ErrorPages struct {
	Status              []StatusRange  `yaml:"status" need:"true" doc:"Status codes, and ranges of them, of answers that are replaced."`
	StatusRewrites      map[string]int `yaml:"statusRewrites" doc:"Other status codes that clients get, by status code or range; of those that hold, the narrowest counts."`
	Service             string         `yaml:"service" need:"true" doc:"HTTP service that has the pages."`
	Query               string         `yaml:"query" doc:"Path of a page; {status}, {originalStatus} and {url} stand for the status that the client gets, the one before it was rewritten, and what the client asked for. Without the key, the path of the request."`
	ErrorRequestHeaders []string       `yaml:"errorRequestHeaders" doc:"Headers of the request that the service of the pages gets; without the key, all; with an empty list, those alone that say who the client is."`
}

// Rewrites returns the rewrites in the order of their ranges.
func (e *ErrorPages) Rewrites() []StatusRewrite {
	var out []StatusRewrite
	for _, key := range sortedKeys(e.StatusRewrites) {
		if r, err := ParseStatusRange(key); err == nil {
			out = append(out, StatusRewrite{r, e.StatusRewrites[key]})
		}
	}
	return out
}

// StatusRewrite gives clients another status.
type StatusRewrite struct {
	From StatusRange
	To   int
}
