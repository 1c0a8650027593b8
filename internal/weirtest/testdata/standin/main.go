// Standin keeps the part of weir's command line contract that package weirtest relies on, so that its helpers are tested on their own.
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"go.yaml.in/yaml/v3"
)

func main() {
	if len(os.Args) != 4 || os.Args[1] != "run" || os.Args[2] != "-c" {
		fmt.Fprintln(os.Stderr, "usage: standin run -c FILE")
		os.Exit(2)
	}
	var generation atomic.Int64
	var note atomic.Value
	load := func() string {
		var c struct {
			Admin struct{ Address string }
			Note  string
		}
		text, err := os.ReadFile(os.Args[3])
		if err == nil {
			err = yaml.Unmarshal(text, &c)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		note.Store(c.Note)
		generation.Add(1)
		return c.Admin.Address
	}
	address := load()
	http.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {})
	http.HandleFunc("/api/v1/status", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"generation": %d, "note": %q}`, generation.Load(), note.Load())
	})
	go func() { fmt.Fprintln(os.Stderr, http.ListenAndServe(address, nil)) }()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM)
	for s := range signals {
		if s == syscall.SIGTERM {
			fmt.Fprintln(os.Stderr, "stopped")
			return
		}
		load()
	}
}
