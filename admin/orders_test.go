package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// standing is what operators have ordered.
func standing() []StandingOrder {
	return []StandingOrder{
		{Service: "orders", Protocol: "tcp", Backend: "10.0.0.2:5432", Drained: true, By: "alice", Node: "lb-2", Since: start},
		{Service: "orders", Protocol: "tcp", Backend: "10.0.0.2:5432", Weight: 5, By: "\x1b[31m", Node: "lb-1", Since: start.Add(time.Hour)},
		{Service: "shop", Protocol: "udp", Node: "lb-1", Since: start.Add(24 * time.Hour)},
	}
}

// told is a server that notes the orders it is given, and answers each with an error if there is one.
func told(err error) (*Server, *[]Order) {
	var got []Order
	return New(Options{Weir: &fixed{state: busyCluster()}, Commands: Commands{
		Order: func(_ context.Context, o Order) (Ordered, error) {
			got = append(got, o)
			return Ordered{Acked: []string{"lb-1"}, Backends: 2}, err
		},
		Orders: func() []StandingOrder { return standing() },
	}}), &got
}

func TestOrders(t *testing.T) {
	on, off, five, none := true, false, 5, 0
	tests := []struct {
		name, path, body string
		want             Order
	}{
		{"drain a backend", "drain", `{"service":"orders","protocol":"tcp","backend":"10.0.0.1:5432","by":"alice"}`,
			Order{Service: "orders", Protocol: "tcp", Backend: "10.0.0.1:5432", Drain: &on, By: "alice"}},
		{"drain a service", "drain", `{"service":"orders"}`, Order{Service: "orders", Drain: &on}},
		{"undrain", "undrain", `{"service":"orders","backend":"[::1]:1"}`, Order{Service: "orders", Backend: "[::1]:1", Drain: &off}},
		{"weight", "weight", `{"service":"orders","weight":5}`, Order{Service: "orders", Weight: &five}},
		{"weight of nothing", "weight", `{"service":"orders","weight":0}`, Order{Service: "orders", Weight: &none}},
		{"the configured weight", "weight", `{"service":"orders","protocol":"http","weight":null,"by":"bob"}`,
			Order{Service: "orders", Protocol: "http", ResetWeight: true, By: "bob"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, got := told(nil)
			rec := call(t, s, "POST", "/api/v1/"+tt.path, tt.body)
			if want := "{\n  \"acked\": [\n    \"lb-1\"\n  ],\n  \"missing\": [],\n  \"backends\": 2\n}\n"; rec.Code != 200 || rec.Body.String() != want {
				t.Errorf("answer %d %s", rec.Code, rec.Body)
			}
			if diff := cmp.Diff([]Order{tt.want}, *got); diff != "" {
				t.Errorf("orders (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOrdersRefused(t *testing.T) {
	tests := []struct {
		name, path, body string
		err              error // of the order; nil: it must not get that far
		code             int
		want             string
	}{
		{"no body", "drain", ``, nil, 400, "the body must be"},
		{"no service", "undrain", `{}`, nil, 400, "no service"},
		{"unknown key", "drain", `{"service":"a","server":"b"}`, nil, 400, "server"},
		{"unknown protocol", "drain", `{"service":"a","protocol":"sctp"}`, nil, 400, `\"sctp\" is none of tcp, udp, http`},
		{"weight of a drain", "drain", `{"service":"a","weight":1}`, nil, 400, "weight"},
		{"no weight", "weight", `{"service":"a"}`, nil, 400, "no weight"},
		{"half a weight", "weight", `{"service":"a","weight":0.5}`, nil, 400, "the body must be"},
		{"weight as text", "weight", `{"service":"a","weight":"5"}`, nil, 400, "the body must be"},
		{"negative weight", "weight", `{"service":"a","weight":-1}`, nil, 400, "-1 is less than 0"},
		{"a long name", "drain", `{"service":"a","by":"` + strings.Repeat("x", 65) + `"}`, nil, 400, "by has more than 64 bytes"},
		{"a name that steers", "drain", `{"service":"a","by":"\u001b[31m"}`, nil, 400, "does not print"},
		{"unknown service", "drain", `{"service":"a"}`, fmt.Errorf("%w: service a", ErrNoSuch), 404, "not found: service a"},
		{"ambiguous service", "drain", `{"service":"a"}`, fmt.Errorf("service a: %w", ErrInvalid), 422, "service a: not possible"},
		{"failure", "weight", `{"service":"a","weight":1}`, errors.New("disk full"), 500, "disk full"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, got := told(tt.err)
			rec := call(t, s, "POST", "/api/v1/"+tt.path, tt.body)
			if rec.Code != tt.code || !strings.Contains(rec.Body.String(), tt.want) {
				t.Errorf("got %d %q, want %d with %q", rec.Code, rec.Body, tt.code, tt.want)
			}
			if (len(*got) > 0) != (tt.err != nil) {
				t.Errorf("orders %+v", *got)
			}
		})
	}
	for path, body := range map[string]string{"drain": `{"service":"a"}`, "undrain": `{"service":"a"}`, "weight": `{"service":"a","weight":1}`} {
		if rec := call(t, New(Options{Weir: &fixed{}}), "POST", "/api/v1/"+path, body); rec.Code != 501 || !strings.Contains(rec.Body.String(), "takes no orders") {
			t.Errorf("%s without orders: %d %s", path, rec.Code, rec.Body)
		}
		s, got := told(nil)
		if rec := call(t, s, "POST", "/api/v1/"+path, body, "Sec-Fetch-Site", "cross-site"); rec.Code != 403 || len(*got) > 0 {
			t.Errorf("%s by a foreign page: %d %+v", path, rec.Code, *got)
		}
	}
}

func TestStandingOrders(t *testing.T) {
	s, _ := told(nil)
	if rec := call(t, s, "GET", "/api/v1/orders", ""); rec.Code != 200 || strings.Count(rec.Body.String(), `"service"`) != 3 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := call(t, New(Options{Weir: &fixed{}}), "GET", "/api/v1/orders", ""); rec.Code != 501 {
		t.Errorf("without orders: %d %s", rec.Code, rec.Body)
	}
	s = New(Options{Weir: &fixed{}, Commands: Commands{Orders: func() []StandingOrder { return nil }}})
	if rec := call(t, s, "GET", "/api/v1/orders", ""); rec.Body.String() != "[]\n" {
		t.Errorf("none: %d %s", rec.Code, rec.Body)
	}
}
