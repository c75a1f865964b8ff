//go:build !race

package auth

const poolsForget = false
