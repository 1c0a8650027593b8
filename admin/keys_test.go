package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeys(t *testing.T) {
	const secret = "aHVzaGh1c2hodXNoaHVzaA==" // hushhushhushhush
	var got []KeyChange
	var fails error
	working := Options{Weir: &fixed{state: busyCluster()}, Commands: Commands{
		Keys: func(context.Context) (Keys, error) { return Keys{Fingerprints: []string{"8f14"}}, fails },
		ChangeKeys: func(_ context.Context, c KeyChange) (Keys, error) {
			got = append(got, c)
			return Keys{Fingerprints: []string{"8f14"}, Changed: "c9f0", Missing: []string{"lb-3"}}, fails
		},
	}}
	alone, plain := working, working
	alone.Weir, plain.Commands = &fixed{}, Commands{}
	impossible := fmt.Errorf("%w: there is no key c9f0", ErrInvalid)
	tests := []struct {
		name         string
		o            Options
		method, body string
		err          error
		code         int
		want         string
		change       *KeyChange // nil: it must not get that far
	}{
		{"show", working, "GET", "", nil, 200, "\"fingerprints\": [\n    \"8f14\"\n  ],\n  \"acked\": [],\n  \"missing\": []\n", nil},
		{"show fails", working, "GET", "", errors.New("stopped"), 500, "stopped", nil},
		{"show alone", alone, "GET", "", nil, 404, "not in a cluster: set cluster", nil},
		{"show nothing", plain, "GET", "", nil, 501, "does not show", nil},
		{"install", working, "POST", `{"do":"install","secret":"` + secret + `"}`, nil, 200, `"changed": "c9f0"`,
			&KeyChange{Do: "install", Secret: Secret("hushhushhushhush")}},
		{"use", working, "POST", `{"do":"use","fingerprint":"c9f0"}`, nil, 200, `"lb-3"`, &KeyChange{Do: "use", Fingerprint: "c9f0"}},
		{"remove", working, "POST", `{"do":"remove","fingerprint":"c9f0"}`, impossible, 422, "there is no key c9f0", &KeyChange{Do: "remove", Fingerprint: "c9f0"}},
		{"change alone", alone, "POST", `{"do":"use","fingerprint":"c9f0"}`, nil, 404, "not in a cluster", nil},
		{"change nothing", plain, "POST", `{"do":"use","fingerprint":"c9f0"}`, nil, 501, "does not change", nil},
		{"no such change", working, "POST", `{"do":"` + secret + `"}`, nil, 400, "none of install, use, remove", nil},
		{"a secret that is no base64", working, "POST", `{"do":"install","secret":"hush-hush"}`, nil, 400, "in base64", nil},
		{"a secret that is a number", working, "POST", `{"do":"install","secret":4711}`, nil, 400, "in base64", nil},
		{"a secret as a key", working, "POST", `{"do":"install","hush":1}`, nil, 400, "in base64", nil},
		{"no secret", working, "POST", `{"do":"install"}`, nil, 400, "takes its secret", nil},
		{"secret and fingerprint", working, "POST", `{"do":"install","secret":"` + secret + `","fingerprint":"c9f0"}`, nil, 400, "takes its secret", nil},
		{"use a secret", working, "POST", `{"do":"use","secret":"` + secret + `"}`, nil, 400, "to use a key takes its fingerprint", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			got, fails = nil, tt.err
			tt.o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			rec := call(t, New(tt.o), tt.method, "/api/v1/keys", tt.body)
			if rec.Code != tt.code || !strings.Contains(rec.Body.String(), tt.want) {
				t.Errorf("got %d %q, want %d with %q", rec.Code, rec.Body, tt.code, tt.want)
			}
			var want []KeyChange
			if tt.change != nil {
				want = []KeyChange{*tt.change}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			for _, word := range []string{"hush", secret, "4711"} {
				if strings.Contains(rec.Body.String()+log.String(), word) {
					t.Errorf("the answer or the log shows %q", word)
				}
			}
		})
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	c := KeyChange{Do: "install", Secret: Secret("hush")}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "change", c, "secret", c.Secret)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "change", c, "secret", c.Secret)
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %s %q", c, c, c.Secret, c.Secret), log.String()} {
		if strings.Contains(text, "hush") || strings.Contains(text, "104 117") || strings.Contains(text, "aHVzaA") {
			t.Error(text)
		}
	}
}
