// Command weir is the load balancer: it runs one, checks and shows configurations, and talks to one that runs.
//
// Each verb is one thin file. Exit codes: 0 success, 1 failure, 2 the command line is wrong, 3 the admin endpoint of a
// running weir does not answer.
package main
