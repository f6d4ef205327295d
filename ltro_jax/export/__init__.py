"""What is made of runs for other programs: tables, policies, films."""
