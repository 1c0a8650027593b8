//go:build profiling

package server

// profiling says that the admin endpoint shows the profiles of the Go runtime.
const profiling = true
