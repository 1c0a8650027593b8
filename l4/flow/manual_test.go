package flow

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestManualListsTheCauses holds the manual's table of dropped datagrams against the causes that there are.
func TestManualListsTheCauses(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for cause := Kept + 1; cause < causeEnd; cause++ {
		if row := fmt.Sprintf("\n| `%s` | ", cause); !strings.Contains(string(text), row) {
			t.Errorf("docs/operations.md has no row for %s", cause)
		}
	}
}
