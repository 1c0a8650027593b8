package cluster

import (
	"errors"
	"strings"
	"testing"
)

func TestSavedIsChecked(t *testing.T) {
	tests := []struct{ name, file string }{
		{"a peer without an address", `{"format":1,"peers":[{"name":"a"}]}`},
		{"a short key", `{"format":1,"ring":{"keys":["AAAA"],"stamp":{"wall":1,"count":0,"node":"a"}}}`},
		{"keys without a stamp", `{"format":1,"ring":{"keys":["` + strings.Repeat("A", 43) + `="]}}`},
		{"a ring without keys", `{"format":1,"ring":{"stamp":{"wall":1,"count":0,"node":"a"}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := DecodeSaved([]byte(tt.file)); !errors.Is(err, ErrSaved) {
				t.Errorf("got %v", err)
			}
		})
	}
}
