package grpcweb

import (
	"bytes"
	"encoding/base64"
	"testing"
)

// BenchmarkDecode decodes a text of 64 KiB.
func BenchmarkDecode(b *testing.B) {
	text := []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("abc"), 16<<10)))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Decode(text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncode encodes pieces of 16 KiB, which is what is read at once of an answer.
func BenchmarkEncode(b *testing.B) {
	content := bytes.Repeat([]byte{1}, 16<<10)
	var e Encoder
	var out []byte
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		out = e.Flush(e.Append(out[:0], content))
	}
}
