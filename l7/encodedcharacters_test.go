package l7

import (
	"testing"

	"github.com/weirlb/weir/l7/route"
)

func TestEncodedCharacters(t *testing.T) {
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: a\r\n" }
	all := route.EncodedSlash | route.EncodedBackslash | route.EncodedSemicolon | route.EncodedPercent | route.EncodedQuestionMark | route.EncodedHash
	with := func(refused route.Encoded) []*Middleware { return []*Middleware{EncodedCharacters("chars", refused)} }
	table := []behaviour{
		{name: "none", m: with(all), request: get("/a%20b;c/d%C3%A9?x=%2F%5C%25")},
		{name: "one that may be", m: with(all &^ route.EncodedSlash), request: get("/a%2fb")},
		{name: "stripped", m: []*Middleware{StripPrefix("strip", []string{"/a%2Fb"}), EncodedCharacters("chars", all)}, request: get("/a%2Fb/c")},
	}
	for _, target := range []string{"/a%2fb", "/%5C", "/a%3bb", "/a%25b", "/a%3F", "/%23"} {
		table = append(table, behaviour{name: target, m: with(all), request: get(target), status: 400, record: []string{`"encoded-character"`}})
	}
	behave(t, told, table)
}
