package main

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

func someOrigins(t *testing.T, n int) []*origin {
	t.Helper()
	all, err := newOrigins(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOrigins(all) })
	return all
}

// Each says who it is, and counts who comes.
func TestOriginAnswers(t *testing.T) {
	all := someOrigins(t, 3)
	for i, o := range all {
		for range i {
			if said, err := ask(t.Context(), o.addr); err != nil || said != o.addr {
				t.Errorf("%s says %q, %v", o.addr, said, err)
			}
		}
		if n := o.taken.Load(); n != uint64(i) {
			t.Errorf("%d connections counted, want %d", n, i)
		}
	}
}

func TestOriginRefuses(t *testing.T) {
	all := someOrigins(t, 2)
	if _, err := all[0].refuse(); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), all[0].addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v", err)
	}
	if _, err := ask(t.Context(), all[1].addr); err != nil {
		t.Errorf("the other: %v", err)
	}
}

func TestOriginFallsSilent(t *testing.T) {
	o := someOrigins(t, 1)[0]
	if _, err := o.fallSilent(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := ask(ctx, o.addr)
		cancel()
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("error %v", err)
		}
	}
}
