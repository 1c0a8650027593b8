// Package weirtest is what weir's tests stand on: real servers, misbehaving backends, certificates, networks and the weir binary itself.
//
// It is imported by _test.go files only and imports nothing of weir, so that every package may use it.
// Every helper takes a testing.TB, fails the test itself when it cannot do its work, and undoes what it did in t.Cleanup.
// A missing program is a failure that names the Debian package to install, never a skip; scripts/test-deps.sh installs them all.
//
// Three families:
//   - servers from Debian packages, each a process of its own in a directory of its own on a free loopback port:
//     Postgres, MariaDB, Redis, Nginx, HAProxy, Node, the name servers BIND, Knot, NSD, Unbound and Dnsmasq, and Weir;
//   - servers inside the test process: Serve with a Behaviour (Echo, Who, AnswerAfterEOF, Stall, Drip, ...),
//     ServeUDP for datagrams, FaultProxy between any two, Refused, RefusedUDP and Unanswered addresses;
//   - ground to stand on: CA, FreeAddr, Eventually, and NewNetwork, whose hosts run servers, weirs and other programs, lose packets
//     (Lose, Part, Among), and may have a clock that is wrong (PrepareWeir).
package weirtest
