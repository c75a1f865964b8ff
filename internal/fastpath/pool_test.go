//go:build !race

package fastpath

const poolsForget = false
