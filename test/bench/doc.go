// Package bench measures the server as a whole, in process and over loopback
// sockets: how fast a sleeping phone is woken and reached, and what a waiting
// request costs. `make bench-go` runs it; docs/performance.md holds the figures.
package bench
