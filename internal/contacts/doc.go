// Package contacts is what operators ask of the location service and change in it:
// who is registered, from where, how a phone can be reached; remove bindings by what
// is known of them, and add one by hand. It offers what the MI and RPC functions of
// other servers do.
//
// The core is pure: Filter matches bindings, describe shows them. The Book around it
// reads and writes a usrloc.Store. Each user's Record is changed at once or not at
// all. Nothing here holds more than a page of users, or a lock while it looks at
// more than a few.
//
// What it shows holds no push tokens unless they were asked for. It does not know who
// may ask: that is decided by package admin.
package contacts
