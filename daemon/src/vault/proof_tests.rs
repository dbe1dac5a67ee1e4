//! Each rule finds what it is there for, and nothing else does.
