package predicate

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var known = []Function{
	{Name: "Ratio", Args: 2, Check: func(args []float64) error {
		if args[0] > args[1] {
			return errors.New("backwards")
		}
		return nil
	}},
	{Name: "Load"}, {Name: "Method", Kind: Text}, {Name: "Broken", Kind: Bool},
}

func TestHolds(t *testing.T) {
	values := map[string]Value{"Ratio": {Number: 0.5}, "Load": {Number: 3}, "Method": {Text: "GET"}, "Broken": {Bool: true}}
	for _, tt := range []struct {
		text string
		want bool
	}{
		{"Load() == 3", true}, {"Load() != 3", false}, {"Load() < 3", false}, {"Load() <= 3", true}, {"Load() > 2.9", true}, {"Load() >= 3.1", false},
		{"Load() > -1", true}, {" \t\nLoad( ) >\n2 ", true},
		{"Ratio(1, 2.5) > 0.4", true}, {"Ratio(1,2)>0.6", false},
		{`Method() == "GET"`, true}, {"Method() != `GET`", false}, {`Method() == "g\u0065t"`, false},
		{"Broken()", true}, {"!Broken()", false}, {"!!Broken()", true},
		{"Load() > 5 || Broken()", true}, {"Load() > 5 && Broken()", false},
		{"Load() == 3 || Load() == 4 && Load() == 5", true}, {"(Load() == 3 || Load() == 4) && Load() == 5", false},
		{"!(Load() > 5) && !(Load() > 4)", true}, {"! Load() > 5", true},
	} {
		c, err := Parse(tt.text, known)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		calls := c.Calls()
		if got := c.Holds(func(i int) Value { return values[calls[i].Name] }); got != tt.want {
			t.Errorf("%s is %t", tt.text, got)
		}
	}
}

func TestCalls(t *testing.T) {
	c, err := Parse("Load() > 1 || Ratio(1, 2) > 0.5 && Load() < 9 || Ratio(1, 3) > 0.5 || Ratio(1, 2) < 0.1", known)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Call{{Name: "Load"}, {"Ratio", []float64{1, 2}}, {"Ratio", []float64{1, 3}}}, c.Calls()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseProblems(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "at byte 0: ends where a function is expected"},
		{"Load()", "at byte 6: ends where a comparison such as > is expected"},
		{"Load() > ", "at byte 9: ends where a number is expected"},
		{"Load() > 1.2.3", `at byte 9: "1.2.3" is not a number`},
		{"Load() > 1 1", `at byte 11: '1' stands where &&, || or the end is expected`},
		{"Load() > 1 &", `at byte 11: '&' stands where &&, || or the end is expected`},
		{"Load() > 1 && ", "at byte 14: ends where a function is expected"},
		{"3 > Load()", "at byte 0: there is no 3, only Ratio, Load, Method, Broken"},
		{"load() > 1", "at byte 0: there is no load, only Ratio, Load, Method, Broken"},
		{"Load > 1", `at byte 5: '>' stands where ( is expected`},
		{"Load(1) > 1", "at byte 0: Load takes 0 arguments, not 1"},
		{"Ratio(1) > 1", "at byte 0: Ratio takes 2 arguments, not 1"},
		{"Ratio(1 2) > 1", `at byte 8: '2' stands where , or ) is expected`},
		{"Ratio(2, 1) > 1", "at byte 0: Ratio: backwards"},
		{"Broken() == 1", "at byte 9: Broken() stands alone, or with a ! before it"},
		{`Method() > "GET"`, "at byte 9: Method() is text, which is compared by == or !="},
		{`Method() == GET`, `at byte 12: 'G' stands where text in quotes is expected`},
		{`Method() == "GET`, "at byte 12: text in quotes is never closed, or has a broken escape"},
		{"(Load() > 1", "at byte 11: ends where &&, || or ) is expected"},
		{"Load() > 1)", `at byte 10: ')' stands where &&, || or the end is expected`},
		{strings.Repeat("!", 40) + "Broken()", "at byte 32: nested more than 32 deep"},
		{strings.Repeat(" ", MaxLength) + "Broken()", "at byte 4096: longer than 4096 bytes"},
	} {
		if _, err := Parse(tt.text, known); err == nil || err.Error() != tt.want {
			t.Errorf("%.40s: %v, want %s", tt.text, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"Load() > 1 && (Ratio(1, 2) <= 0.5 || !Broken())", `Method() == "GET"`, "((((", "!!!!", "Load()>-.e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text, known)
		if err != nil {
			return
		}
		asked := 0
		_ = c.Holds(func(i int) Value {
			asked++
			return Value{Number: float64(i), Text: "GET", Bool: len(c.Calls()[i].Args) == 0}
		})
		if asked == 0 || len(c.Calls()) > MaxCalls {
			t.Errorf("%q: %d calls, %d asked for", text, len(c.Calls()), asked)
		}
	})
}
