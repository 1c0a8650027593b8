// Package limit counts what clients do, by source address, in tables of fixed size that loops share without locks.
package limit
