package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of the keys of a cluster, which the cluster itself keeps to as well.
const (
	MinClusterKey  = 16 // bytes of a key
	MaxClusterKeys = 4
)

// keyHint tells how a key is made.
const keyHint = "make a key with: openssl rand -base64 32"

// ParseClusterKeys reads what cluster.keyFile names: base64 keys, one a line.
// Blank lines and lines that begin with # do not count. The first key encrypts.
// What is wrong with it is a [Problems] with the file's name and lines, and
// without anything of what stands there.
func ParseClusterKeys(file string, text []byte) ([][]byte, error) {
	var problems Problems
	fail := func(line, col int, message, hint string) {
		problems = append(problems, Problem{File: file, Line: line, Col: col, Message: message, Hint: hint})
	}
	var keys [][]byte
	var lines []int // of each key
	number := 0
	for raw := range bytes.Lines(text) {
		number++
		line := bytes.TrimSpace(raw)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		col := 1 + utf8.RuneCount(raw[:bytes.Index(raw, line)])
		key, err := decodeKey(string(line))
		var corrupt base64.CorruptInputError
		switch {
		case errors.As(err, &corrupt):
			fail(number, col+int(corrupt), "not base64", keyHint)
		case len(key) < MinClusterKey:
			fail(number, col, fmt.Sprintf("a key of %d bytes, at least %d are needed", len(key), MinClusterKey), keyHint)
		case twice(keys, key) >= 0:
			fail(number, col, fmt.Sprintf("the same key as in line %d", lines[twice(keys, key)]), "remove one of them")
		case len(keys) == MaxClusterKeys:
			fail(number, col, fmt.Sprintf("more than %d keys", MaxClusterKeys), "remove those that no node encrypts with any more")
		default:
			keys, lines = append(keys, key), append(lines, number)
		}
	}
	if len(keys) == 0 && len(problems) == 0 {
		fail(max(number, 1), 1, "holds no key", keyHint)
	}
	if err := problems.orNil(); err != nil {
		return nil, err
	}
	return keys, nil
}

// decodeKey decodes standard base64, with or without the padding.
func decodeKey(s string) ([]byte, error) {
	return base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(s, "="))
}

// twice returns the place of a key among others, -1 if it is not there.
func twice(keys [][]byte, key []byte) int {
	for i, k := range keys {
		if bytes.Equal(k, key) {
			return i
		}
	}
	return -1
}
