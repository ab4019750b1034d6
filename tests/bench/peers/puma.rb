# A load that keeps its connections and is never idle would have them closed after 10 requests.
max_fast_inline Float::INFINITY
threads 5, 5
