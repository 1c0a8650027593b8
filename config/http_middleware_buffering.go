package config

// Buffering holds the bodies of requests and answers, in memory alone. In a loaded
// Config the two sizes that are held are not 0.
type Buffering struct {
	MaxRequestBodyBytes  int    `yaml:"maxRequestBodyBytes" min:"0" doc:"Bytes that the body of a request may have; 0 = no limit."`
	MemRequestBodyBytes  int    `yaml:"memRequestBodyBytes" min:"0" max:"16777216" doc:"Bytes of a request's body that are held; a longer one is passed on as it comes. 0 means the default."`
	MaxResponseBodyBytes int    `yaml:"maxResponseBodyBytes" min:"0" doc:"Bytes that the body of an answer may have; 0 = no limit."`
	MemResponseBodyBytes int    `yaml:"memResponseBodyBytes" min:"0" max:"16777216" doc:"Bytes of an answer's body that are held; a longer one is passed on as it comes. 0 means the default."`
	RetryExpression      string `yaml:"retryExpression" doc:"When a request is sent again: Attempts(), ResponseCode(), IsNetworkError() and RequestMethod(), compared with numbers and text, joined by && || ! ( )."`
}

const usualHeld = 1 << 20

func (b *Buffering) setDefaults() {
	b.MemRequestBodyBytes, b.MemResponseBodyBytes = usualHeld, usualHeld
}

func (b *Buffering) settle() {
	for _, size := range [...]*int{&b.MemRequestBodyBytes, &b.MemResponseBodyBytes} {
		if *size == 0 {
			*size = usualHeld
		}
	}
}
