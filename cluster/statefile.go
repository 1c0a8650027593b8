package cluster

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// readState returns what a state file holds. One that does not exist holds nothing.
func readState(path string) (Saved, error) {
	if path == "" {
		return Saved{}, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Saved{}, nil
	}
	if err != nil {
		return Saved{}, fmt.Errorf("cluster state: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSaved+1))
	if err != nil {
		return Saved{}, fmt.Errorf("cluster state: %w", err)
	}
	saved, err := DecodeSaved(b)
	if err != nil {
		return Saved{}, fmt.Errorf("cluster state %s: %w; mend it, or remove it to start without former peers, commands and keys",
			path, err)
	}
	return saved, nil
}

// writeState writes a state file, which only its owner may read, since it holds keys. Whenever the machine stops, the file
// is the old or the new one.
func writeState(path string, saved Saved) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cluster state: %w", err)
		}
	}()
	b, err := saved.Encode()
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

// syncDir makes a rename last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
