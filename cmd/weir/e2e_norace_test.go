//go:build !race

package main_test

// shadow is how many times the memory of a program is what it would be without the race detector.
const shadow = 1
