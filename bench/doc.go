// Command bench measures weir beside the balancers that people would use in
// its place, on one machine in one run: what each unit of work costs in CPU
// time or in memory, and how that compares.
//
// Asked for it ("bench cluster"), it measures several weirs that are a cluster:
// how soon all of them know what has died, and what that costs.
//
// It knows weir only as a program to start and imports nothing of it. See
// README.md for what the figures mean.
package main
