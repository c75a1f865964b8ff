// Command compare measures the server from outside, against Kamailio in the same
// run where that is installed, and writes the tables of docs/performance.md.
//
// The server under test has one core for itself, this program another. Its phones
// are those of `reveille load` (internal/load), which send every server the same.
// It takes the CPU time and the memory of the server from /proc (proc.go), and
// repeats everything in rounds, of which the median counts.
//
//	compare            first registrations and refreshes: in memory, on disk, with
//	                   digest, and Kamailio
//	compare flat       10,000 bindings against 1,000,000; memory and start with so many
//	compare churn      memory under phones that come and go
//	compare tls        handshakes, and refreshes on connections that stay, and Kamailio
//	compare push       what a push costs, against a plain POST; a cold connection; a
//	                   lane that is stuck beside one that is not
//	compare calls      calls that are relayed, with SIPp at both ends, and Kamailio
//	compare overload   more calls than go, with overload control and without
//	compare users N    writes the users file of configs/bench-digest.yaml
//
// It needs Linux and two cores. `make bench`, `make bench-flat`, `make
// bench-churn`, `make bench-tls`, `make bench-push`, `make bench-calls` and `make
// bench-overload` run it.
package main
