// Package proc runs the programs of a measurement: it starts them on a chosen
// CPU, tells what their process trees cost, and stops them.
//
// Everything is read from /proc, so it needs Linux and nothing else, and it
// works the same on a program with threads, with worker processes, or with
// helpers that come and go.
package proc
