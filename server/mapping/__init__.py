"""Between messages of the contract and the dataclasses of the store; one module a concept."""
