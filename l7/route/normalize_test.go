package route

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNormalizePath(t *testing.T) {
	for _, tt := range []struct {
		name string
		raw  string
		want string
		err  error
	}{
		{"root", "/", "/", nil},
		{"plain", "/a/b-c._~/d", "/a/b-c._~/d", nil},
		{"all that may stand raw", "/!$&'()*+,;=:@[]", "/!$&'()*+,;=:@[]", nil},
		{"empty", "", "/", nil},
		{"hidden files", "/.well-known/..a/...", "/.well-known/..a/...", nil},

		{"unreserved is decoded", "/%41%7a%30%2D%2e%5F%7e", "/Az0-._~", nil},
		{"digits in upper case", "/%c3%a9%3f", "/%C3%A9%3F", nil},
		{"reserved stays encoded", "/%21%24%26%27%28%29%2A%2B%2C%3A%3B%3D%40%5B%5D", "/%21%24%26%27%28%29%2A%2B%2C%3A%3B%3D%40%5B%5D", nil},
		{"encoded slash is kept", "/group%2fproject", "/group%2Fproject", nil},
		{"encoded backslash is kept", "/a%5cb", "/a%5Cb", nil},
		{"percent sign is not decoded twice", "/%252e%252e/%2541", "/%252e%252e/%2541", nil},
		{"encoded space", "/a%20b", "/a%20b", nil},
		{"encoded control but NUL", "/a%0Ab", "/a%0Ab", nil},
		{"sloppy characters are encoded", "/{a}|\"<b>^`", "/%7Ba%7D%7C%22%3Cb%3E%5E%60", nil},

		{"dot", "/a/./b", "/a/b", nil},
		{"dot at the end", "/a/.", "/a/", nil},
		{"dot alone", "/.", "/", nil},
		{"two dots", "/a/../b", "/b", nil},
		{"two dots at the end", "/a/b/..", "/a/", nil},
		{"above the root", "/../../a", "/a", nil},
		{"far above the root", "/a/../../../b/..", "/", nil},
		{"encoded dots", "/a/%2e%2E/b/%2e/c", "/b/c", nil},
		{"mixed dots", "/a/.%2e/b", "/b", nil},
		{"RFC 3986 example", "/a/b/c/./../../g", "/a/g", nil},
		{"trailing slash stays", "/a/b/../", "/a/", nil},

		{"double slash", "//admin", "/admin", nil},
		{"many slashes", "/a///b//", "/a/b/", nil},
		{"only slashes", "///", "/", nil},
		{"slashes and dots", "/a//../b/.//c", "/b/c", nil},

		{"relative", "a", "", ErrPathStart},
		{"asterisk", "*", "", ErrPathStart},
		{"absolute URI", "http://a/", "", ErrPathStart},
		{"NUL", "/%00", "", ErrEncoded},
		{"NUL after a name", "/a.php%00.png", "", ErrEncoded},
		{"raw NUL", "/\x00", "", ErrPathByte},
		{"raw CR", "/a\rb", "", ErrPathByte},
		{"raw space", "/a b", "", ErrPathByte},
		{"raw DEL", "/\x7f", "", ErrPathByte},
		{"raw backslash", `/a\..\b`, "", ErrPathByte},
		{"raw non-ASCII", "/é", "", ErrPathByte},
		{"fragment", "/a#b", "", ErrPathByte},
		{"query", "/a?b", "", ErrPathByte},
		{"percent at the end", "/%", "", ErrEscape},
		{"one digit", "/%4", "", ErrEscape},
		{"no digits", "/%zz", "", ErrEscape},
		{"second digit bad", "/%4g", "", ErrEscape},
		{"sign for a digit", "/%+1", "", ErrEscape},
		{"Unicode escape", "/%u002e", "", ErrEscape},

		{"dots before an encoded slash", "/a/..%2Fadmin", "", ErrTraversal},
		{"encoded dots before an encoded slash", "/a/%2e%2e%2fadmin", "", ErrTraversal},
		{"dots behind an encoded slash", "/a%2f../admin", "", ErrTraversal},
		{"dots behind an encoded slash at the end", "/a%2F..", "", ErrTraversal},
		{"dots between backslashes", "/a%5C..%5Cadmin", "", ErrTraversal},
		{"one dot", "/a%2F.%2Fb", "", ErrTraversal},
		{"path parameter", "/public/..;/admin", "", ErrTraversal},
		{"path parameter with value", "/public/..;a=b/admin", "", ErrTraversal},
		{"path parameter on one dot", "/.;/admin", "", ErrTraversal},
		{"encoded semicolon", "/public/..%3B/admin", "", ErrTraversal},
		{"what dots take away does not count", "/a%2F../../b", "/b", nil},
		{"dots in a parameter are harmless", "/a;v=../b", "/a;v=../b", nil},
		{"dots behind a semicolon are harmless", "/a;../b", "/a;../b", nil},
		{"dots behind a semicolon are harmless in any path", "/a;../%41", "/a;../A", nil},
		{"names with dots and an encoded slash", "/a..%2F..b", "/a..%2F..b", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := []byte(tt.raw)
			got, changed, err := NormalizePath(raw)
			if !errors.Is(err, tt.err) || string(got) != tt.want {
				t.Fatalf("NormalizePath(%q) = %q, %v; want %q, %v", tt.raw, got, err, tt.want, tt.err)
			}
			if want := err == nil && tt.want != tt.raw; changed != want {
				t.Errorf("changed = %v, want %v", changed, want)
			}
			if string(raw) != tt.raw {
				t.Errorf("its input is now %q", raw)
			}
		})
	}
}

func TestNormalizer(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    Normalizer
		raw  string
		want string
		err  error
	}{
		{"empty segments kept", Normalizer{KeepEmpty: true}, "//a///b//", "//a///b//", nil},
		{"dots take an empty segment", Normalizer{KeepEmpty: true}, "/a//../b", "/a/b", nil},
		{"dots before an empty segment", Normalizer{KeepEmpty: true}, "/.//a", "//a", nil},
		{"dots to the root", Normalizer{KeepEmpty: true}, "//..", "/", nil},
		{"slash", Normalizer{Refuse: EncodedSlash}, "/a%2fb", "", ErrEncoded},
		{"backslash", Normalizer{Refuse: EncodedBackslash}, "/a%5Cb", "", ErrEncoded},
		{"semicolon", Normalizer{Refuse: EncodedSemicolon}, "/a%3Bb", "", ErrEncoded},
		{"percent", Normalizer{Refuse: EncodedPercent}, "/a%25b", "", ErrEncoded},
		{"question mark", Normalizer{Refuse: EncodedQuestionMark}, "/a%3Fb", "", ErrEncoded},
		{"hash", Normalizer{Refuse: EncodedHash}, "/a%23b", "", ErrEncoded},
		{"others pass", Normalizer{Refuse: EncodedSlash | EncodedHash}, "/a%5Cb%25%20", "/a%5Cb%25%20", nil},
		{"raw ones are not encoded", Normalizer{Refuse: EncodedSlash | EncodedSemicolon}, "/a/b;c", "/a/b;c", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := tt.n.Path([]byte(tt.raw))
			if !errors.Is(err, tt.err) || string(got) != tt.want {
				t.Fatalf("Path(%q) = %q, %v; want %q, %v", tt.raw, got, err, tt.want, tt.err)
			}
		})
	}
}

// checkNormal checks what holds for every path: the result is a fixed point,
// stays under the root, hides no dots from anybody, and means what raw means.
func checkNormal(t interface {
	Helper()
	Fatalf(string, ...any)
}, n Normalizer, raw []byte) {
	t.Helper()
	before := bytes.Clone(raw)
	path, changed, err := n.Path(raw)
	if len(raw) > 0 && raw[0] == '/' && n.settled(raw) { // the short way is the long way
		long, err := n.recode(raw)
		if long = n.resolve(long); err != nil || hidesDots(long) || !bytes.Equal(long, raw) {
			t.Fatalf("%q passes for normal, but it is %q, %v", raw, long, err)
		}
	}
	if !bytes.Equal(before, raw) {
		t.Fatalf("%q was written to", before)
	}
	if err != nil {
		if path != nil || changed {
			t.Fatalf("%q: %v, and %q, %v besides", raw, err, path, changed)
		}
		return
	}
	if changed == bytes.Equal(raw, path) {
		t.Fatalf("%q became %q: changed = %v", raw, path, changed)
	}
	again, changed, err := n.Path(path)
	if err != nil || changed || !bytes.Equal(again, path) {
		t.Fatalf("%q became %q and that %q, %v, %v", raw, path, again, changed, err)
	}
	if len(path) > 3*max(len(raw), 1) {
		t.Fatalf("%q grew to %q", raw, path)
	}
	careless := strings.NewReplacer("%2F", "/", "%5C", "/", "%3B", ";").Replace(string(path))
	for i, segment := range strings.Split(careless, "/") {
		name, _, _ := strings.Cut(segment, ";")
		if name == "." || name == ".." {
			t.Fatalf("%q became %q, which has a dot segment", raw, path)
		}
		if i == 0 && segment != "" {
			t.Fatalf("%q became %q, which does not start at the root", raw, path)
		}
	}
	// Unencoded and encoded form say the same: net/url, which knows nothing of
	// normal forms, decodes both to the same bytes once dots are resolved.
	u, err := url.PathUnescape(string(path))
	if err != nil || strings.ContainsRune(u, 0) {
		t.Fatalf("%q became %q, which net/url decodes to %q, %v", raw, path, u, err)
	}
	if !bytes.Contains(raw, []byte(".")) && !bytes.Contains(bytes.ToLower(raw), []byte("%2e")) && !bytes.Contains(raw, []byte("//")) && len(raw) > 0 {
		if want, err := url.PathUnescape(string(raw)); err != nil || want != u {
			t.Fatalf("%q became %q: net/url decodes them to %q, %v and %q", raw, path, want, err, u)
		}
	}
}

var pathPieces = []string{
	"/", "//", ".", "..", "...", "a", "B", "~", ";", "=", "@", "%2e", "%2E", "%2f", "%2F", "%5c", "%5C", "%3b", "%41", "%25",
	"%20", "%c3%a9", "%00", "%", "%4", "%zz", "{", "|", `\`, "#", " ", "é", "[",
}

func TestNormalizePathProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(pathPieces), 0, 12).Draw(t, "pieces"), "")
		checkNormal(t, Normalizer{KeepEmpty: rapid.Bool().Draw(t, "keep")}, []byte(raw))
	})
}

func FuzzNormalizePath(f *testing.F) {
	for _, seed := range []string{"/a/../b", "/%2e%2E/%2f//", "/..;/x", "/a%5C..", "/{}", "/%c3%a9", "*", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkNormal(t, Normalizer{}, raw)
		checkNormal(t, Normalizer{KeepEmpty: true}, raw)
		if path, _, err := NormalizePath(raw); err == nil {
			if back := rulePath(string(pathText(nil, path))); back != string(path) && !bytes.Contains(path, []byte("%")) {
				t.Fatalf("%q as a rule is %q", path, back)
			}
		}
	})
}

func TestPathTextIsOneToOne(t *testing.T) {
	seen := make(map[string]string) // normalized path by its text
	for c := range 256 {
		for _, raw := range [][]byte{{'/', byte(c)}, appendEscape([]byte{'/'}, byte(c))} {
			path, _, err := NormalizePath(raw)
			if err != nil {
				continue
			}
			text := string(pathText(nil, path))
			if other, ok := seen[text]; ok && other != string(path) {
				t.Errorf("%q and %q both read %q", other, path, text)
			}
			seen[text] = string(path)
			if got := rulePath(text); got != string(path) {
				t.Errorf("rule %q asks for %q, not for %q", text, got, path)
			}
		}
	}
}

func BenchmarkNormalizePath(b *testing.B) {
	for _, bb := range []struct{ name, path string }{
		{"plain", "/api/v1/customers/4711/orders"},
		{"encoded", "/files/a%20long%20name%C3%A9.txt"},
		{"dots", "/api/v1/../v2/./customers"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			raw := []byte(bb.path)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := NormalizePath(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
