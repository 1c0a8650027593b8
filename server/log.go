package server

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
)

// Log is the program's own log, whose level and format can change while it is used.
type Log struct {
	*slog.Logger
	level *slog.LevelVar
	json  *atomic.Bool
}

// NewLog returns a log that writes to w, from level info up and as text until it is told otherwise.
func NewLog(w io.Writer) *Log {
	level, asJSON := new(slog.LevelVar), new(atomic.Bool)
	o := &slog.HandlerOptions{Level: level}
	return &Log{
		Logger: slog.New(&formats{asJSON: asJSON, text: slog.NewTextHandler(w, o), json: slog.NewJSONHandler(w, o)}),
		level:  level,
		json:   asJSON,
	}
}

// set makes the log as planned.
func (l *Log) set(p logPlan) {
	l.level.Set(p.level)
	l.json.Store(p.format == "json")
}

// formats is a slog.Handler that writes in the format of the moment.
type formats struct {
	asJSON     *atomic.Bool
	text, json slog.Handler
}

func (f *formats) current() slog.Handler {
	if f.asJSON.Load() {
		return f.json
	}
	return f.text
}

// Enabled implements slog.Handler.
func (f *formats) Enabled(ctx context.Context, level slog.Level) bool {
	return f.current().Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (f *formats) Handle(ctx context.Context, r slog.Record) error { return f.current().Handle(ctx, r) }

// WithAttrs implements slog.Handler.
func (f *formats) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &formats{asJSON: f.asJSON, text: f.text.WithAttrs(attrs), json: f.json.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (f *formats) WithGroup(name string) slog.Handler {
	return &formats{asJSON: f.asJSON, text: f.text.WithGroup(name), json: f.json.WithGroup(name)}
}
