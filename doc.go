// Package weir is the root of the module of weir, a load balancer for TCP, UDP and HTTP that runs as one binary and as
// a cluster. The program is in cmd/weir, the parts it is composed of are in the directories beside this file, one noun
// each. Nothing is exported here: this package holds the tests that hold the rules of the house (arch_test.go) and the
// manual's word (doc_test.go).
package weir
