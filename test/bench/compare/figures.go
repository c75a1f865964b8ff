package main

import (
	"math"
	"slices"
)

// A measure is one of the figures that a round gives.
type measure uint8

const (
	firstCPU   measure = iota // CPU time of a first registration, µs
	refreshCPU                // CPU time of a refresh, µs
	refreshes                 // refreshes a second, as many as go
	median                    // latency meanwhile, µs
	slowest                   // its 99th percentile, µs
	pacedMedian
	pacedSlowest // the same at a fixed rate, µs
	perBinding   // memory of a binding, or of a connection with one, bytes
	handshakeCPU // CPU time of a TLS handshake, µs
	fewCallsCPU  // CPU time of a relayed call at fewCalls, µs
	manyCallsCPU // and at manyCalls
	failedCalls
	repeatedCalls // messages that the ends of calls sent again
	measures
)

// figures are what one server came to in one round. One that stopped answering
// has unanswered in place of what was not measured.
type figures [measures]float64

// unanswered is not a number: nothing is computed from it.
func unanswered() float64 { return math.NaN() }

// A series is what one server came to in all rounds.
type series []figures

// median returns the median of each measure over the rounds that gave it; zero
// without any.
func (s series) median() (m figures) {
	for i := range m {
		m[i] = middle(s.answered(measure(i)))
	}
	return m
}

// answered returns the values of a measure in the rounds that gave it.
func (s series) answered(m measure) []float64 {
	var values []float64
	for _, f := range s {
		if !math.IsNaN(f[m]) {
			values = append(values, f[m])
		}
	}
	return values
}

// total adds up a measure over all rounds.
func (s series) total(m measure) (sum float64) {
	for _, f := range s {
		sum += f[m]
	}
	return sum
}

// against returns the ratios of s to the peer, round by round, in order of size.
func (s series) against(peer series, m measure) []float64 {
	var ratios []float64
	for i := range min(len(s), len(peer)) {
		if peer[i][m] > 0 && !math.IsNaN(s[i][m]) {
			ratios = append(ratios, s[i][m]/peer[i][m])
		}
	}
	slices.Sort(ratios)
	return ratios
}

// middle returns the median of values, 0 of none.
func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}
