package main

// The authorities that push services and other servers are believed by, where the
// machine has none of its own: a container that holds nothing but this program, or a
// Debian without ca-certificates. Where there are some, these are not looked at.
import _ "golang.org/x/crypto/x509roots/fallback"
