package discovery

import (
	"testing"

	"github.com/weirlb/weir/upstream"
)

func TestStatic(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  []upstream.Endpoint
		want []upstream.Endpoint
	}{
		{"sorted, none twice", endpoints("10.0.0.2:80", "10.0.0.1:80", "10.0.0.2:80"), endpoints("10.0.0.1:80", "10.0.0.2:80")},
		{"nobody", nil, endpoints()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, NewStatic(tt.set))
			p.expect(t, OutcomeChanged, tt.want)
			p.stop(t)
			if n := p.count(); n != 1 {
				t.Errorf("%d updates, want one", n)
			}
		})
	}
}
