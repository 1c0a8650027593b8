package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// What strangers make the membership layer log is counted, not all of it written.
func TestJournal(t *testing.T) {
	var out bytes.Buffer
	j := newJournal(slog.New(slog.NewTextHandler(&out, nil)))
	logger := j.logger()
	for range 1000 {
		logger.Printf("[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=1.2.3.4:5")
	}
	logger.Printf("[DEBUG] memberlist: chatter")
	for len(j.queue) > 0 {
		l := <-j.queue
		j.log.LogAttrs(t.Context(), l.level, l.text)
	}
	if n := strings.Count(out.String(), "\n"); n != journalLines {
		t.Errorf("%d lines are written", n)
	}
	if j.wrongKey.Load() != 1000 || strings.Contains(out.String(), "memberlist") || !strings.Contains(out.String(), "level=WARN") {
		t.Errorf("counted %d; written:\n%s", j.wrongKey.Load(), out.String())
	}
	if suppressed, ok := j.admit(slog.LevelWarn, time.Now().Add(journalWindow)); !ok || suppressed != 1000-journalLines {
		t.Errorf("%d lines are reported missing, %t", suppressed, ok)
	}
}
