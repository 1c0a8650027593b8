//go:build !race

package main_test

const shadow = 1
