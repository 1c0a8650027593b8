package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// errNoProfile says why a weir tells nothing of itself.
var errNoProfile = errors.New("this weir shows no profiles: build it with -tags profiling")

// profiled plays a round and keeps meanwhile what weir says of where its
// processors are, as NAME.pprof in the directory for profiles; that of the last
// round stays. A rival plays alone, and so does weir in the bare shape, and
// everybody where there is no such directory.
func (r *runner) profiled(ctx context.Context, b *bout) (sample, error) {
	if r.profiles == "" || b.e.Name != "weir" || b.sc.shape == b.sc.bare {
		return r.play(ctx, b)
	}
	kept := make(chan error, 1)
	go func() {
		path := filepath.Join(r.profiles, b.sc.name+".pprof")
		kept <- keepProfile(ctx, "http://"+b.at.Admin, path, r.warm+r.duration)
	}()
	s, err := r.play(ctx, b)
	return s, errors.Join(err, <-kept)
}

// keepProfile writes what a weir does for a while, at least a second, to a file.
func keepProfile(ctx context.Context, admin, path string, d time.Duration) error {
	url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", admin, max(int(d/time.Second), 1))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errNoProfile
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return os.WriteFile(path, text, 0o644)
}
