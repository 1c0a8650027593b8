// Package trail tells which names a path leads through, so that a change behind it can be noticed.
package trail

import (
	"os"
	"path/filepath"
	"strings"
)

// Of returns the names that decide what a path leads to: every symbolic
// link on the way and the place at its end, each inside a real directory. A
// change of content behind the path is a change in the directory of one of
// them. Where the path leads nowhere, the last name is the part that is
// missing.
//
// Kubernetes shows why the way matters: weir.yaml is a link to
// ..data/weir.yaml, ..data is a link to ..2026_01_02/, and an update swaps
// ..data alone.
func Of(path string) []string {
	const most = 40 // links, as the kernel allows
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	var names []string
	here, rest := "/", strings.Split(strings.Trim(path, "/"), "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			here = filepath.Dir(here)
			continue
		}
		name := filepath.Join(here, part)
		info, err := os.Lstat(name)
		if err != nil || links > most {
			return append(names, name)
		}
		if info.Mode()&os.ModeSymlink == 0 {
			here = name
			continue
		}
		links++
		names = append(names, name)
		target, err := os.Readlink(name)
		if err != nil {
			return names
		}
		if filepath.IsAbs(target) {
			here = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return append(names, here)
}
