package main

import (
	"math/bits"
	"time"
)

// latencies counts durations in buckets of a few per cent.
type latencies [64 * 32]uint64

// add counts a duration.
func (l *latencies) add(d time.Duration) { l[bucket(uint64(max(d, 0))/1000)]++ }

// bucket numbers microseconds: the first 32 exactly, then 32 buckets for each
// doubling.
func bucket(us uint64) int {
	if us < 32 {
		return int(us)
	}
	shift := bits.Len64(us) - 6
	return (shift+1)*32 + int(us>>shift&31)
}

// lower is the least number of microseconds in a bucket.
func lower(bucket int) uint64 {
	if bucket < 32 {
		return uint64(bucket)
	}
	return uint64(32+bucket%32) << (bucket/32 - 1)
}

// merge adds the counts of others.
func (l *latencies) merge(others *latencies) {
	for i, n := range others {
		l[i] += n
	}
}

// quantile returns the duration that the share q did not exceed; 0 of none.
func (l *latencies) quantile(q float64) time.Duration {
	var total, seen uint64
	for _, n := range l {
		total += n
	}
	for i, n := range l {
		if seen += n; seen > 0 && float64(seen) >= q*float64(total) {
			return time.Duration(lower(i)) * time.Microsecond
		}
	}
	return 0
}
