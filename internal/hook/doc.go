// Package hook asks a program of the operator, by HTTP, what scripts decide in
// other servers: whether a phone may register, and where a call goes. One POST
// asks one question; see Registration and Request for what is asked, Permission
// and Direction for what may be answered.
//
// A Client bounds how long it asks and how many questions are open. It follows no
// redirection, for the question is nobody else's business. It knows neither
// registrar nor proxy: internal/app translates, and decides what counts when no
// answer came.
package hook
