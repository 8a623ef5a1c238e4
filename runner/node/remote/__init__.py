"""How a person, or a program of theirs, looks at a running node and commands it: `runner status`, `halt`, `resume`…"""
